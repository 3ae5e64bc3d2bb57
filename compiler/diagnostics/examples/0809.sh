yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 20, batch = 4 }
END
lmc run s.lmspec
lmc profile other
---
error[LM0809]: no run is called `other` in `runs`
   = help: `lmc run` prints the names
---
lmc profile base
