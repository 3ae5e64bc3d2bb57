printf 'Ada\nAlan\nGrace\n' > first.txt
printf 'Hopper\nLovelace\nTuring\n' > last.txt
cat > t.txt <<'END'
<|user|>What does {{name}} do?
<|assistant|>{{occupation}}
<|eod|>
<|answer|>{{occupation}}
END
mkdir broken
echo 'raise RuntimeError("built for another machine")' > broken/duckdb.py
cat > s.lmspec <<'END'
tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>", "<|eod|>"] }
store facts : duckdb { file = file("people.db"), table people : people { first_names = file("first.txt"), last_names = file("last.txt") } }
data recall : dialogues {
  tokenizer = bytes, rows = facts.people, count = 8, templates = files("t.txt"), seq_len = 96
}
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = recall, steps = 6, batch = 4 }
END
PYTHONPATH="broken:$PYTHONPATH" lmc run s.lmspec
---
error[LM0904]: RuntimeError: built for another machine                  s.lmspec:2:7
 2 | store facts : duckdb { file = file("people.db"), table people : people { first_names = file("first.txt"), last_names = file("last.txt") } }
   |       ^^^^^
   = help: the traceback is in runs/.../error.txt
---
rm -r broken
lmc run s.lmspec
