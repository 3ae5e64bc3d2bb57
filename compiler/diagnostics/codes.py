"""The table of codes. Codes are stable and never used again for something else.

Each code that a file can trigger has an example in `examples/NNNN.lmspec` beside this module: a failing file, a line
`---`, and the repaired file. What else a user does has one in `examples/NNNN.sh`: commands that fail, what is said, and
commands that repair it, with `---` between them; `...` stands for what differs between machines. Tests type them.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class Code:
    """A kind of mistake: its title, what it means, and for what no file alone triggers how it comes about."""

    code: str
    title: str
    explanation: str
    how: str = ""

    def examples(self) -> tuple[str, str] | None:
        """Return a failing and a repaired file, or None for a code that no file alone can trigger."""
        parts = self._parts("lmspec")
        return None if parts is None else (parts[0], parts[1])

    def session(self) -> tuple[str, str, str] | None:
        """Return commands that fail, what is said of them, and commands that repair it, or None."""
        parts = self._parts("sh")
        return None if parts is None else (parts[0], parts[1], parts[2])

    def _parts(self, suffix: str) -> list[str] | None:
        from importlib.resources import files  # slow to load, and most commands show no example

        path = files("lmc.compiler.diagnostics").joinpath("examples", f"{self.code[2:]}.{suffix}")
        return path.read_text(encoding="utf-8").split("---\n") if path.is_file() else None


_TABLE = (
    ("LM0101", "a field has no value", "An `=` must be followed by a value on the same line."),
    ("LM0102", "a token cannot stand here", "The text is no statement or expression of the language."),
    ("LM0103", "a bracket is never closed", "Every `{`, `[` and `(` needs its closing partner."),
    ("LM0104", "a string is never closed", 'A string ends with `"` on the same line; long ones stand in `"""`.'),
    (
        "LM0105",
        "the file is too big or nested too deep",
        "Files have at most 512 KiB and 100,000 words and signs; brackets, operators, imports and bases 100 levels.",
    ),
    ("LM0106", "the text cannot be read", "Files are UTF-8 without NUL characters."),
    ("LM0107", "a keyword is used as a name", "Keywords are never names of fields or blocks."),
    (
        "LM0108",
        "a form of another language",
        "Chained comparisons, tuples, single quotes and `True` do not exist here.",
    ),
    (
        "LM0109",
        "too many mistakes",
        "A hundred in the text of a file, or a thousand in all, are told; no more are looked for.",
        "the file is no spec",
    ),
    ("LM0201", "unknown kind", "A top-level block begins with one of twelve kinds."),
    ("LM0202", "unknown variant", "After the colon stands a variant of the kind, or a block of the same kind."),
    ("LM0203", "unknown field", "The block has no field of that name; nothing is ever dropped silently."),
    (
        "LM0205",
        "a name is defined twice",
        "A file has one namespace for blocks, constants and imports, and a block sets a field once.",
    ),
    ("LM0206", "a circle of inheritance or imports", "A block cannot start from itself, nor a file import itself."),
    ("LM0207", "undefined name", "Bare words are references; quote a word that is meant as a value."),
    ("LM0208", "ambiguous name", "A first name that is a field and a name of the file needs `this.` or `file.`."),
    ("LM0209", "a required field is missing", "The field has no default."),
    ("LM0210", "a repeated block has no name", "Blocks that may stand several times are named."),
    ("LM0211", "an import cannot be read", "Imports are relative to the file that wrote them."),
    ("LM0212", "not supported by this version", "The language names it; this version cannot run it yet."),
    (
        "LM0213",
        "fields were dropped",
        "A changed variant keeps the fields that both variants have; this lists the rest.",
    ),
    (
        "LM0214",
        "a block where a field is expected, or the reverse",
        "`name = value` sets a field, `name { }` edits a block.",
    ),
    ("LM0215", "a name hides another", "The inner one is meant wherever both are in scope."),
    ("LM0301", "wrong type", "Int widens to Float; nothing else converts."),
    ("LM0302", "wrong unit", "Sizes end in KiB to TiB, durations in ms, s, min, h or d."),
    ("LM0303", "a value is out of range", "The field allows only part of its type."),
    ("LM0304", "not one of the allowed values", "The field takes one of a fixed set of strings."),
    ("LM0305", "a value is defined by itself", "A field cannot need its own value."),
    ("LM0306", "wrong use of a function", "The function does not exist or does not take these arguments."),
    ("LM0307", "an expression cannot be computed", "Its operands do not fit together, or a path leads nowhere."),
    ("LM0308", "an assertion does not hold", "An `assert` of the file is false."),
    ("LM0309", "exactly one of several fields must be set", "The others follow from it."),
    ("LM0310", "a reference to the wrong kind", "The field refers to another kind of block."),
    (
        "LM0311",
        "a value is not known yet",
        "What a run reads, a vocabulary or a number of examples, and what follows from it, cannot be used before.",
    ),
    ("LM0401", "heads do not divide the width", "Each head has width / heads channels."),
    ("LM0402", "heads cannot be split over the mesh", "tp must divide heads and kv_heads."),
    ("LM0403", "kv heads do not divide heads", "Each kv head serves heads / kv_heads query heads."),
    ("LM0404", "the mesh has another number of devices", "dp x tp is the number of devices."),
    ("LM0405", "rope needs an even head size", "Rotary positions rotate pairs of channels."),
    ("LM0406", "model and data disagree about tokens", "They read the same ids only with one tokenizer."),
    ("LM0407", "weights of another parametrisation", "A model that starts from weights computes as they were trained."),
    (
        "LM0408",
        "a start that a run does not give",
        "Only kept checkpoints of a model of the same shape can be started from.",
    ),
    ("LM0501", "an axis leads nowhere", "Keys of `over` and `zip` are paths into the base."),
    ("LM0502", "a grid is empty", "An axis has no values, or `where` leaves no point."),
    ("LM0503", "axes of a zip differ in length", "They go in step."),
    ("LM0504", "a grid is too large", "A grid has at most 100,000 points."),
    (
        "LM0505",
        "a plot needs an aggregate",
        "An axis that x, color and facet leave must be reduced by min, max or mean.",
    ),
    ("LM0506", "unknown metric or site", "The evaluation has no such metric, or the model no such site."),
    ("LM0507", "points of a grid fail", "The same mistake at many points is reported once, with the first point."),
    ("LM0508", "runs have the same name", "`name` must tell every axis."),
    ("LM0509", "an overlay has no target", "An overlay lies over a block: overlay NAME : BLOCK { }."),
    ("LM0510", "an axis is set to one value", "A setting on an axis collapses it."),
    ("LM0511", "nothing is drawn", "`draw` says how often distributions are drawn from, and there is none."),
    (
        "LM0512",
        "two runs are one",
        "Settings that change nothing of what a run is do not tell runs apart; those of the first run hold.",
    ),
    ("LM0601", "a pattern cannot be read", "Patterns are classes, alternation, repetition and named groups."),
    ("LM0602", "a back-reference in a pattern", "An automaton has no memory of what it read."),
    ("LM0603", "look-around in a pattern", "An automaton decides byte by byte."),
    ("LM0604", "a lazy quantifier in a pattern", "Say what may not occur instead."),
    ("LM0605", "an anchor in a pattern", "A pattern covers the whole text between its neighbours."),
    ("LM0606", "the body can contain the close", "The first `close` ends the call, so the body must exclude it."),
    ("LM0607", "a capture is ambiguous", "The same text must give the same captures."),
    ("LM0608", "an open begins another open", "The longer one could never be read."),
    (
        "LM0609",
        "an undeclared special token",
        "`<|...|>` in protocols and templates must be declared by the tokenizer.",
    ),
    ("LM0610", "a splice without an allow list", "Only allow-listed text becomes part of a query."),
    ("LM0611", "a parameter without a capture", "`:name` and `{name}` of a query are captures of the body."),
    ("LM0612", "a delimiter is a special token", "`open` and `close` match text unless `match` says otherwise."),
    ("LM0613", "an automaton is too large", "Lower the bounds of repetitions."),
    ("LM0614", "an allowed value cannot be asked for", "The capture that an allow list limits must match its values."),
    ("LM0616", "a call can never be well formed", "Some text of `open`, `body` and `close` must read as a whole call."),
)
_RUN_TIME = (
    (
        "LM0411",
        "a group of no parameters",
        "`match` of a `group` is a glob over parameter paths, and the first group that matches a parameter has it.",
        "`match` names a layer that the model does not have",
    ),
    (
        "LM0615",
        "a call cannot be finished",
        "Where a protocol is constrained, some token of the vocabulary must be able to follow.",
        "the tokenizer has no token for a byte that a pattern needs",
    ),
    ("LM0701", "a file is missing", "Paths are relative to the file that wrote them.", "a data file was moved"),
    ("LM0702", "a file is damaged", "The file is there and is not what it should be.", "a record was edited by hand"),
    ("LM0703", "a dialogue is too long", "Dialogues are never cut.", "`seq_len` is smaller than a dialogue"),
    ("LM0704", "a template is wrong", "See the language reference, templates.", "a template names no column"),
    ("LM0705", "too little data", "The table or text is smaller than what is asked for.", "`count` exceeds the table"),
    ("LM0706", "a split pattern cannot be used", "It is no regular expression, or matches the empty text.", "a typo"),
    ("LM0707", "a tokenizer cannot be loaded", "It is neither cached nor to be had from the net.", "no connection"),
    ("LM0708", "a tokenizer of another kind", "Its tokens must be bytes that never change.", "a WordPiece vocabulary"),
    ("LM0709", "a library is not installed", "An extra of lmc brings it.", "`tokenizer : hf` without the extra `hf`"),
    (
        "LM0710",
        "a function cannot be used",
        "It must be importable, and its parameters must be the captures of the body.",
        "`protocol : python` names a function that is not there",
    ),
    ("LM0711", "a server cannot be reached", "The store's `url` says where it is.", "`DATABASE_URL` is not set"),
    (
        "LM0712",
        "a role may do too much",
        "Statements that a model writes run as a role that can only read.",
        "the `url` of a store names a superuser",
    ),
    (
        "LM0713",
        "weights do not fit the model",
        "The model must have the options, names and shapes of the folder that it starts from.",
        "`layers` of the model is not that of the repository",
    ),
    (
        "LM0714",
        "weights of an architecture that is not supported",
        "Llama, and Mistral and Qwen2 where they compute the same, can be read.",
        "`config.json` names another architecture",
    ),
    ("LM0715", "weights cannot be loaded", "They are neither cached nor to be had from the net.", "no connection"),
    (
        "LM0716",
        "a model cannot be exported",
        "The other library has no architecture that computes the same.",
        "`lmc export --format hf` of a gated recurrence",
    ),
    ("LM0717", "data cannot be loaded", "They are neither cached nor to be had from where they are.", "no connection"),
    (
        "LM0718",
        "an input is not what the lock says",
        "A run reads what `NAME.lock` beside `NAME.lmspec` says, or nothing.",
        "a data file was edited after `lmc lock`",
    ),
    ("LM0801", "a plan is damaged", "Compile it again.", "plan.jsonl was cut"),
    ("LM0802", "a plan of another version", "Compile it again.", "the plan was made by another version of lmc"),
    ("LM0803", "no plan, or several", "Name the plan or spec to run.", "`lmc run` without a plan under build/"),
    ("LM0804", "a folder cannot be written", "Choose another folder.", "the run store is read-only"),
    ("LM0805", "no whole checkpoint", "Every checkpoint fails its digests.", "files of a checkpoint were changed"),
    (
        "LM0807",
        "unknown block to run",
        "`lmc run PLAN NAME` takes blocks of the plan, and runs of its grids.",
        "a block's name is misspelt",
    ),
    ("LM0809", "a run was not recorded", "Replay it, or train it.", "a probe was added after the training"),
    (
        "LM0810",
        "a prompt that cannot be continued",
        "It is empty, is longer than the context, or is no line that `lmc generate` reads.",
        "`lmc generate RUN --prompt ''`",
    ),
    ("LM0901", "a loss is not finite", "The training stopped before it did harm.", "the learning rate is too high"),
    (
        "LM0902",
        "a database vanished",
        "The file was there when the run began.",
        "it was removed while a model asked it",
    ),
    ("LM0903", "a machine's limit", "Memory, disk or device.", "the disk is full"),
    (
        "LM0904",
        "a node failed",
        "An error that lmc does not know; the traceback is kept.",
        "a bug, or a broken machine",
    ),
    (
        "LM1001",
        "a configuration cannot be read",
        "It must be one YAML document: a mapping of names to values, indented with spaces.",
        "a line is indented with a tab",
    ),
    (
        "LM1002",
        "a key is there twice",
        "Readers of YAML keep one of the values, and not all the same one.",
        "`lr` stands twice in `optim`",
    ),
    (
        "LM1003",
        "readers of YAML differ about a value",
        "Versions 1.1 and 1.2 take it for different things; the message says how it was read.",
        "`lr: 1e-3`, a text in YAML 1.1",
    ),
    (
        "LM1004",
        "a value of a configuration cannot be used",
        "It has another type than its codebase wants, or says what lmc cannot do.",
        "`nb_layers: two`",
    ),
    (
        "LM1005",
        "a part was not carried over",
        "lmc has nothing like it, or does it in another way; the spec lists it in a comment.",
        "`launcher.slurm`",
    ),
    (
        "LM1006",
        "configurations do not make one spec",
        "Files that are imported together are of one codebase, have one grid and differ in values alone.",
        "one file trains on dialogues and the other on text",
    ),
    (
        "LM1007",
        "a list that is written as text cannot be read",
        "`range`, lists, comprehensions and arithmetic are read; nothing is executed.",
        "`n_data: sorted(os.listdir('.'))`",
    ),
)
CODES: dict[str, Code] = {row[0]: Code(*row) for row in (*_TABLE, *_RUN_TIME)}
FAMILIES: dict[str, str] = {
    "01": "Syntax",
    "02": "Names and inheritance",
    "03": "Types and units",
    "04": "Shapes and mesh",
    "05": "Grids and plots",
    "06": "Protocols and tokenizers",
    "07": "Data",
    "08": "Plan and resume",
    "09": "Run time",
    "10": "Configurations that are imported",
}
"""What the third and fourth character of a code say."""
