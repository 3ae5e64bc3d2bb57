yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 20, batch = 4, limits { memory = 1MiB } }
END
lmc run s.lmspec
---
error[LM0903]: ... GiB of memory were held by step 10; limits.memory is 1MiB  s.lmspec:4:7
 4 | train base { model = small, data = book, steps = 20, batch = 4, limits { memory = 1MiB } }
   |       ^^^^
   = help: set a smaller micro_batch or remat { }, or raise the limit; the same command goes on from that step
---
sed -i 's/1MiB/8GiB/' s.lmspec
lmc run s.lmspec
