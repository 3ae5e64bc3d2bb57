cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc run s.lmspec
---
error[LM0701]: file `book.txt` does not exist  s.lmspec:2:29
 2 | data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
   |                             ^^^^^^^^^^^^^^^^ named here
   = help: check the path
---
yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
lmc run s.lmspec
