printf 'tokenizer bytes : byte {}\0\n' > s.lmspec
lmc check s.lmspec
---
error[LM0106]: the file holds a NUL character                           s.lmspec:1:26
 1 | tokenizer bytes : byte {}�
   |                          ^
   = help: remove it [fix available]
---
printf 'tokenizer bytes : byte {}\n' > s.lmspec
lmc check s.lmspec
