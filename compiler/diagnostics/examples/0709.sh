# where tensorboard is not installed
yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4, track : tensorboard {} }
END
lmc run s.lmspec
---
error[LM0709]: `track : tensorboard` needs the library `tensorboard`
   = help: install the extra `track` of lmc: pip install -e '.[track]' in its folder; or leave `track` out
---
sed -i 's/, track : tensorboard {}//' s.lmspec
lmc run s.lmspec
