cat > run.yaml <<'END'
name: tiny
steps:	60: 70
optim: {lr: 0.002, warmup: 5}
model: {dim: 64, n_layers: 2, n_heads: 2}
data: {root_dir: data, sources: {book: 0.5, web: 0.5}, batch_size: 8, seq_len: 64, tokenizer: {name: bytes}}
END
lmc import run.yaml -o s.lmspec
---
error[LM1001]: a tab stands where YAML wants spaces                     run.yaml:2:7
 2 | steps:    60: 70
   |       ^^^^
   = help: indent with spaces
---
cat > run.yaml <<'END'
name: tiny
steps: 60
optim: {lr: 0.002, warmup: 5}
model: {dim: 64, n_layers: 2, n_heads: 2}
data: {root_dir: data, sources: {book: 0.5, web: 0.5}, batch_size: 8, seq_len: 64, tokenizer: {name: bytes}}
END
lmc import run.yaml -o s.lmspec --force
