yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
printf 'caf\351, in Latin-1\n' >> book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc run s.lmspec
---
error[LM0702]: `book.txt` is not UTF-8: invalid continuation byte  s.lmspec:4:7
 4 | train base { model = small, data = book, steps = 6, batch = 4 }
   |       ^^^^
---
iconv -f latin1 -t utf-8 book.txt > utf8.txt
mv utf8.txt book.txt
lmc run s.lmspec
