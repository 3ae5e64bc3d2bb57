cat > run.yaml <<'END'
name: tiny
steps: 60
optim: {lr: 2e-3, warmup: 5}
model: {dim: 64, n_layers: 2, n_heads: 2}
data: {root_dir: data, sources: {book: 0.5, web: 0.5}, batch_size: 8, seq_len: 64, tokenizer: {name: bytes}}
END
lmc import run.yaml -o s.lmspec
---
hint[LM1003]: YAML 1.1 reads `2e-3` as a text, for want of a point or sign; it is the number here  run.yaml:3:13
 3 | optim: {lr: 2e-3, warmup: 5}
   |             ^^^^
---
cat > run.yaml <<'END'
name: tiny
steps: 60
optim: {lr: 0.002, warmup: 5}
model: {dim: 64, n_layers: 2, n_heads: 2}
data: {root_dir: data, sources: {book: 0.5, web: 0.5}, batch_size: 8, seq_len: 64, tokenizer: {name: bytes}}
END
lmc import run.yaml -o s.lmspec --force
