yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc run s.lmspec
lmc export base -o folder
sed -e 's/layers = 1/layers = 2, weights : hf { folder = file("folder") }/' s.lmspec > again.lmspec
lmc run again.lmspec
---
error[LM0713]: `layers` is 2 in the model and 1 in config.json of `folder`  again.lmspec:4:7
 4 | train base { model = small, data = book, steps = 6, batch = 4 }
   |       ^^^^
   = help: set `layers` to 1
---
sed -i 's/layers = 2/layers = 1/' again.lmspec
lmc run again.lmspec
