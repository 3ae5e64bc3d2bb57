cat > run.yaml <<'END'
name: tiny
steps: 60
optim: {lr: 0.002, warmup: 5}
model: {dim: 64, n_layers: 2, n_heads: 2}
grid: {model.dim: sorted(os.listdir())}
data: {root_dir: data, sources: {book: 0.5, web: 0.5}, batch_size: 8, seq_len: 64, tokenizer: {name: bytes}}
END
lmc import run.yaml -o s.lmspec
---
error[LM1007]: `sorted(os.listdir())` cannot be read as a list: `sorted(os.listdir())` is not read here  run.yaml:5:19
 5 | grid: {model.dim: sorted(os.listdir())}
   |                   ^^^^^^^^^^^^^^^^^^^^
   = help: write the values as a list: [1, 2, 4]
---
cat > run.yaml <<'END'
name: tiny
steps: 60
optim: {lr: 0.002, warmup: 5}
model: {dim: 64, n_layers: 2, n_heads: 2}
data: {root_dir: data, sources: {book: 0.5, web: 0.5}, batch_size: 8, seq_len: 64, tokenizer: {name: bytes}}
END
lmc import run.yaml -o s.lmspec --force
