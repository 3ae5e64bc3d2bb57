yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base {
  model = small, data = book, steps = 6, batch = 4
  optim { group norms { match = "*nrom*", weight_decay = 0.0 } }
}
END
lmc run s.lmspec
---
error[LM0411]: `group norms` is of nothing: no parameter matches `*nrom*`  s.lmspec:4:7
 4 | train base {
   |       ^^^^
   = help: write a glob that paths match, such as those of norm.gain, unembed.weight, blocks.0.mlp_norm.gain
---
sed -i 's/nrom/norm/' s.lmspec
lmc run s.lmspec
