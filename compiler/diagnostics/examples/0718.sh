yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc lock s.lmspec
echo 'one more line' >> book.txt
lmc run s.lmspec
---
error[LM0718]: `book.txt` is not what `s.lock` says                     s.lock:2:13
 2 | file sha256:97ecbc34a907f2c4995235deb5e81c1122864ccd4dc103c9738cff51d8df6e56 book.txt
   |             ^^^^^^^^^^^^ is now 938df1711aeb
   = help: put back what was locked, or accept what is there: lmc run --relock
---
lmc run s.lmspec --relock
