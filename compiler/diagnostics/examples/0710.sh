printf 'Ada\nAlan\nGrace\n' > first.txt
printf 'Hopper\nLovelace\nTuring\n' > last.txt
cat > t.txt <<'END'
<|user|>What is the weather?
<|assistant|><ask>{{name}}</ask>
<|database|>fine
<|assistant|>Fine.
<|eod|>
<|answer|>Fine.
END
echo 'def now(name): return "rain"' > weather.py
cat > s.lmspec <<'END'
tokenizer bytes : byte { specials = ["<|user|>", "<|assistant|>", "<|database|>", "<|eod|>"] }
protocol local : python {
  function = "weather:new"
  call { open = "<ask>", body = re"(?<name>[^<]*)", close = "</ask>", handover = "<|database|>" }
  reply { suffix = "<|assistant|>" }
}
store facts : sqlite { file = file("people.db"), table people : people { first_names = file("first.txt"), last_names = file("last.txt") } }
data recall : dialogues {
  tokenizer = bytes, rows = facts.people, count = 8, templates = files("t.txt"), seq_len = 128
  protocols = [local]
}
model small : transformer { tokenizer = bytes, layers = 1, width = 8, mixer : attention { heads = 2 } }
train base { model = small, data = recall, steps = 6, batch = 4 }
eval exact : answers { run = base, protocols = recall.protocols, max_tokens = 8 }
END
lmc run s.lmspec
---
error[LM0710]: the function `weather:new` cannot be used: `weather.py` has no function `new`  s.lmspec:14:6
 14 | eval exact : answers { run = base, protocols = recall.protocols, max_tokens = 8 }
    |      ^^^^^
    = help: define it there
---
sed -i 's/weather:new/weather:now/' s.lmspec
lmc run s.lmspec
