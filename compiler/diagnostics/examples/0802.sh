yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc compile s.lmspec
sed -i '1s/"format": *[0-9]*/"format": 0/' build/s/plan.jsonl
lmc run build/s
---
error[LM0802]: plan `build/s/plan.jsonl` has format 0; this version reads 1
   = help: compile it again
---
lmc compile s.lmspec
lmc run build/s
