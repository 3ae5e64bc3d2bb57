yes "the quick brown fox jumps over the lazy dog." | head -n 100 > book.txt
cat > s.lmspec <<'END'
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 16 }
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 6, batch = 4 }
END
lmc run s.lmspec
lmc export base -o folder
sed -i 's/"model_type": *"llama"/"model_type": "gpt_bigcode"/' folder/config.json
sed -e 's/layers = 1/layers = 1, weights : hf { folder = file("folder") }/' s.lmspec > again.lmspec
lmc run again.lmspec
---
error[LM0714]: `folder/config.json` asks for the architecture `gpt_bigcode`  again.lmspec:4:7
 4 | train base { model = small, data = book, steps = 6, batch = 4 }
   |       ^^^^
   = help: use weights of one of llama, mistral, qwen2
---
sed -i 's/gpt_bigcode/llama/' folder/config.json
lmc run again.lmspec
