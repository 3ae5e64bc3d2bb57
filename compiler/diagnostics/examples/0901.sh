yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 60, batch = 4, optim : sgd { lr = 1e30 } }
END
lmc run s.lmspec
---
error[LM0901]: loss nan and gradient norm nan at step 2, examples 4 to 7  s.lmspec:4:7
 4 | train base { model = small, data = book, steps = 60, batch = 4, optim : sgd { lr = 1e30 } }
   |       ^^^^
   = help: lower `optim.lr`, or set `optim.clip`
---
sed -i 's/lr = 1e30/lr = 1e-2/' s.lmspec
lmc run s.lmspec
