yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, weights : hf { repo = "nobody/nothing" }, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
HF_HUB_OFFLINE=1 HF_HOME=cache lmc run s.lmspec
---
error[LM0715]: weights of `nobody/nothing` cannot be loaded: ...  s.lmspec:4:7
 4 | train base { model = small, data = book, steps = 6, batch = 4 }
   |       ^^^^
   = help: check the name, load it once with a connection, or give a folder: folder = file(...)
---
sed -i 's/ weights : hf {[^}]*},//' s.lmspec
lmc run s.lmspec
