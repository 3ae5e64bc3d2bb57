yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : gated {} }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc run s.lmspec
lmc export base -o folder
---
error[LM0716]: transformers has no Llama with a gated mixer
   = help: export a model with attention and rope in radians
---
rm -r runs
sed -i 's/gated {}/attention { heads = 2 }/' s.lmspec
lmc run s.lmspec
lmc export base -o folder
