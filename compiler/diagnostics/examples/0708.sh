yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > tokenizer.json <<'END'
{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
 "post_processor": null, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
 "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
  "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "the": 1, "##s": 2}}}
END
cat > s.lmspec <<'END'
tokenizer bytes : hf { file = file("tokenizer.json") }
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc run s.lmspec
---
error[LM0708]: the tokenizer `tokenizer.json` is not supported: it is WordPiece  s.lmspec:4:7
 4 | train base { model = small, data = book, steps = 6, batch = 4 }
   |       ^^^^
   = help: use byte-level BPE, or SentencePiece with byte fallback
---
sed -i 's/hf { .*json") }/byte {}/' s.lmspec
lmc run s.lmspec
