cat > run.yaml <<'END'
name: tiny
steps: 60
launcher: {slurm: {mem: 16G}}
optim: {lr: 0.002, warmup: 5}
model: {dim: 64, n_layers: 2, n_heads: 2}
data: {root_dir: data, sources: {book: 0.5, web: 0.5}, batch_size: 8, seq_len: 64, tokenizer: {name: bytes}}
END
lmc import run.yaml -o s.lmspec
---
warning[LM1005]: not carried over: launcher.slurm.mem (line 3): lmc has no counterpart  run.yaml:3:25
 3 | launcher: {slurm: {mem: 16G}}
   |                         ^^^
---
cat > run.yaml <<'END'
name: tiny
steps: 60
optim: {lr: 0.002, warmup: 5}
model: {dim: 64, n_layers: 2, n_heads: 2}
data: {root_dir: data, sources: {book: 0.5, web: 0.5}, batch_size: 8, seq_len: 64, tokenizer: {name: bytes}}
END
lmc import run.yaml -o s.lmspec --force
