yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
echo 'in the way' > build
lmc compile s.lmspec
---
error[LM0804]: the plan cannot be written to `build/s`: File exists
   = help: make its parent a writable folder
---
rm build
lmc compile s.lmspec
