cat > run.yaml <<'END'
learning_rate: 0.002
layers: 2
END
lmc import run.yaml -o s.lmspec
---
error[LM1006]: this is no configuration of ITL or of lingua             run.yaml:1:1
 1 | learning_rate: 0.002
   | ^
   = help: it has neither `run_config` and `model.emb_dim` nor `model.dim` and `data.root_dir`
---
cat > run.yaml <<'END'
name: tiny
steps: 60
optim: {lr: 0.002, warmup: 5}
model: {dim: 64, n_layers: 2, n_heads: 2}
data: {root_dir: data, sources: {book: 0.5, web: 0.5}, batch_size: 8, seq_len: 64, tokenizer: {name: bytes}}
END
lmc import run.yaml -o s.lmspec --force
