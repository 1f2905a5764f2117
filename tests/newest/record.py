"""Write PyTorch's answers to all questions into a file: ``python tests/newest/record.py FILE``."""

import pickle
import sys
import warnings
from pathlib import Path

import torch

for place in (".", "tests", "tests/engine"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / place))

from newest.questions import QUESTIONS

warnings.simplefilter("ignore")
torch.set_num_threads(1)
answers = {name: ask(torch) for name, ask in QUESTIONS.items()}
Path(sys.argv[1]).write_bytes(pickle.dumps(answers))
print(f"PyTorch {torch.__version__} has answered {len(answers)} questions")
