yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : hf { repo = "gpt2" }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
HF_HUB_OFFLINE=1 HF_HOME=cache lmc run s.lmspec
---
error[LM0707]: tokenizer.json of `gpt2` cannot be loaded: ...  s.lmspec:4:7
 4 | train base { model = small, data = book, steps = 6, batch = 4 }
   |       ^^^^
   = help: check the name, load it once with a connection, or give the file: file = file(...)
---
sed -i 's/hf { repo = "gpt2" }/byte {}/' s.lmspec
lmc run s.lmspec
