"""Modelfiles, and models that are not pinned."""

from tests.unit.broken.case import Case

MODELFILE = "FROM llama3.2:3b\nSYSTEM {inputs.temperature}\n"
FROM_WITH_CTX = MODELFILE + "PARAMETER num_ctx 4096"
FROM_WITH_GPU = MODELFILE + "PARAMETER num_gpu 0"

CASES: tuple[Case, ...] = (
    Case(
        "no FROM",
        {"models/support-bot/modelfile": "PARAMETER temperature {inputs.temperature}"},
        "fleet.models.support-bot.modelfile",
        "has no FROM",
        "begin it",
    ),
    Case(
        "a missing input",
        {"models/support-bot/inputs": {"temprature": 1}},
        "fleet.models.support-bot.modelfile",
        "{inputs.temperature} has no value",
        "{inputs.temprature}",
    ),
    Case(
        "an unused input",
        {"models/support-bot/inputs/top_k": 1},
        "fleet.models.support-bot.inputs.top_k",
        "no {inputs.top_k}",
        "take the input out",
    ),
    Case(
        "inputs without a Modelfile",
        {"models/gemma3:4b": {"pools": ["t4"], "inputs": {"a": 1}}},
        'fleet.models["gemma3:4b"]',
        "there is none",
        "add modelfile",
    ),
    Case(
        "num_ctx in a Modelfile",
        {"models/support-bot/modelfile": FROM_WITH_CTX},
        "fleet.models.support-bot.modelfile",
        "sets num_ctx",
        "write context: N",
    ),
    Case(
        "num_gpu in a Modelfile",
        {"models/support-bot/modelfile": FROM_WITH_GPU},
        "fleet.models.support-bot.modelfile",
        "sets num_gpu",
        "take it out",
    ),
    Case(
        "a Modelfile made from itself",
        {"models/support-bot/modelfile": "FROM support-bot\nSYSTEM {inputs.temperature}"},
        "fleet.models.support-bot.modelfile",
        "in a circle",
        "a name of its own",
    ),
    Case(
        "two Modelfiles in a circle",
        {
            "models/support-bot/modelfile": "FROM other\nSYSTEM {inputs.temperature}",
            "models/other": {"pools": ["k80"], "modelfile": "FROM support-bot"},
        },
        "fleet.models.other.modelfile",
        "other > support-bot > other",
        "model of the registry",
        alone=False,
    ),
    Case(
        "FROM a file",
        {"models/support-bot/modelfile": "FROM /weights.gguf\nSYSTEM {inputs.temperature}"},
        "fleet.models.support-bot.modelfile",
        "outside the pool's own files",
        "model of a registry",
    ),
    Case(
        "FROM an address that nothing holds to what it gives",
        {
            "models/support-bot": {
                "pools": ["k80"],
                "modelfile": "FROM https://example.org/w.gguf",
                "vram": "2Gi",
                "disk": "2Gi",
            },
        },
        "fleet.models.support-bot.digest",
        "nothing says what has to come from there",
        "sha256 of the file",
    ),
    Case(
        "FROM an address with a password",
        {"models/support-bot/modelfile": "FROM https://me:secret@example.org/w.gguf\nSYSTEM {inputs.temperature}"},
        "fleet.models.support-bot.modelfile",
        "not https://HOST/FILE.gguf",
        "without a password",
    ),
    Case(
        "FROM an address where nothing is fetched",
        {
            "pools/k80/registry": "none",
            "models/support-bot": {
                "pools": ["k80"],
                "modelfile": "FROM https://example.org/w.gguf",
                "vram": "2Gi",
                "disk": "2Gi",
                "digest": "1" * 64,
            },
        },
        "fleet.models.support-bot.modelfile",
        "fetches nothing",
        "FROM ./FILE.gguf",
    ),
    Case(
        "FROM a file above the folder",
        {"models/support-bot/modelfile": "FROM ./../weights.gguf\nSYSTEM {inputs.temperature}"},
        "fleet.models.support-bot.modelfile",
        "leaves the folder",
        "./FILE.gguf",
    ),
    Case(
        "FROM a file where nothing stays",
        {
            "models/support-bot": {"pools": ["a100"], "modelfile": "FROM ./w.gguf", "vram": "2Gi", "disk": "2Gi"},
        },
        "fleet.models.support-bot.modelfile",
        "begins empty with each pod",
        "storage: volume",
    ),
    Case(
        "a model that the pool's Ollama is too old for",
        {"pools/a100/image": "ollama/ollama:0.9.3", "models/gpt-oss:20b": ["a100"]},
        'fleet.models["gpt-oss:20b"].pools',
        "needs Ollama 0.11.0, and pool a100 runs 0.9.3",
        "a newer image",
        alone=False,
    ),
    Case(
        "FROM an unknown model",
        {"models/support-bot/modelfile": "FROM lama3.2:3b\nSYSTEM {inputs.temperature}"},
        "fleet.models.support-bot",
        "does not know lama3.2:3b",
        "llama3.2:3b",
    ),
    Case(
        "an empty Modelfile",
        {"models/support-bot/modelfile": ""},
        "fleet.models.support-bot.modelfile",
        "out of bounds",
        "at least 1",
    ),
    Case("nothing is pinned", {}, "fleet.models", "5 of 6 not pinned", "digest", "warning"),
)
