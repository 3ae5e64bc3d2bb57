yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc run
---
error[LM0803]: say which plan is meant: there is none under build/
   = help: name a plan folder, or a .lmspec
---
lmc compile s.lmspec
lmc run
