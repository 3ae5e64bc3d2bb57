yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc run s.lmspec
for file in runs/*/checkpoints/*/*; do echo damaged > "$file"; done
lmc generate base --prompt the --max-tokens 4
---
error[LM0805]: checkpoint `runs/.../checkpoints/step-6` is damaged (no readable manifest)
   = help: remove `runs/...` to train again from the start
---
rm -r runs
lmc run s.lmspec
lmc generate base --prompt the --max-tokens 4
