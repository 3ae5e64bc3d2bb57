printf 'Ada\nAlan\nGrace\n' > first.txt
printf 'Hopper\nLovelace\nTuring\n' > last.txt
cat > t.txt <<'END'
<|user|>What does {{name}} do?
<|assistant|>{{occupation}}
<|eod|>
<|answer|>{{occupation}}
END
cat > s.lmspec <<'END'
tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>", "<|eod|>"] }
store facts : postgres { url = env("DATABASE_URL"), table people { columns = ["occupation"] } }
data recall : dialogues {
  tokenizer = bytes, rows = facts.people, count = 8, templates = files("t.txt"), seq_len = 96
}
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = recall, steps = 6, batch = 4 }
END
unset DATABASE_URL; lmc run s.lmspec
---
error[LM0711]: the store's `url` is env("DATABASE_URL"), and `DATABASE_URL` is not set  s.lmspec:2:7
 2 | store facts : postgres { url = env("DATABASE_URL"), table people { columns = ["occupation"] } }
   |       ^^^^^
   = help: export DATABASE_URL=postgresql://...
---
cat > s.lmspec <<'END'
tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>", "<|eod|>"] }
store facts : sqlite { file = file("people.db"), table people : people { first_names = file("first.txt"), last_names = file("last.txt") } }
data recall : dialogues {
  tokenizer = bytes, rows = facts.people, count = 8, templates = files("t.txt"), seq_len = 96
}
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = recall, steps = 6, batch = 4 }
END
lmc run s.lmspec
