printf 'Ada\nAlan\nGrace\n' > first.txt
printf 'Hopper\nLovelace\nTuring\n' > last.txt
cat > t.txt <<'END'
<|user|>What does {{name}} do?
<|assistant|>{{job}}
<|eod|>
<|answer|>{{occupation}}
END
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
---
error[LM0704]: t.txt:2: the table has no column `job`  s.lmspec:7:7
 7 | train base { model = small, data = recall, steps = 6, batch = 4 }
   |       ^^^^
   = help: the table has name, birth_date, birth_place, current_address, occupation
---
sed -i 's/job/occupation/' t.txt
lmc run s.lmspec
