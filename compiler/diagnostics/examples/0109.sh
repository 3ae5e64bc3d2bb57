for i in $(seq 200); do echo "= $i"; done > s.lmspec
lmc check s.lmspec
---
error[LM0109]: there are more mistakes than these 100                   s.lmspec:100:1
 100 | = 100
     | ^
     = help: mend these first
---
echo 'tokenizer bytes : byte {}' > s.lmspec
lmc check s.lmspec
