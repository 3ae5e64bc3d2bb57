echo "a book" > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc run s.lmspec
---
error[LM0705]: `book.txt` has 6 tokens of 7 to train on; a sequence of 16 needs 17  s.lmspec:4:7
 4 | train base { model = small, data = book, steps = 6, batch = 4 }
   |       ^^^^
   = help: lower `seq_len`, or raise `split.train`
---
yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
lmc run s.lmspec
