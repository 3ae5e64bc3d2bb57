yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = url { at = "http://127.0.0.1:9/book.txt", sha256 = "81f0e3a6e1c5a3c9d6ff4e6fbea0b6a3dd6ca1c7b2ba6d6e1b5c2a3ed40e0a1b" }, tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc run s.lmspec
---
error[LM0717]: `http://127.0.0.1:9/book.txt` cannot be downloaded: ...  s.lmspec:4:7
 4 | train base { model = small, data = book, steps = 6, batch = 4 }
   |       ^^^^
   = help: check the address and the connection, or put the file at ...
---
sed -i 's/url {[^}]*}/file("book.txt")/' s.lmspec
lmc run s.lmspec
