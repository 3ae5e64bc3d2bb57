yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc compile s.lmspec
echo '{' >> build/s/plan.jsonl
lmc run build/s
---
error[LM0801]: plan `build/s/plan.jsonl` is damaged at line 9
   = help: compile it again
---
lmc compile s.lmspec
lmc run build/s
