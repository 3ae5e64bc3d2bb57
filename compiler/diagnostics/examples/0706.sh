yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer words : bpe { source = file("book.txt"), size = 300, pattern = re"([a-z]+" }
data book : text { source = file("book.txt"), tokenizer = words, seq_len = 16 }
model small : transformer { tokenizer = words, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc run s.lmspec
---
error[LM0706]: `pattern` of the tokenizer cannot be used: missing ) at position 7  s.lmspec:1:11
 1 | tokenizer words : bpe { source = file("book.txt"), size = 300, pattern = re"([a-z]+" }
   |           ^^^^^
   = help: name "gpt2", "cl100k" or "o200k", or write what one piece is
---
sed -i 's/(\[a-z\]+/[a-z]+|[^a-z]+/' s.lmspec
lmc run s.lmspec
