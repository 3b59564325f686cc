"""Tasks that need no file: each a dataclass of its options with the rule that makes its sequences.

| task           | sequences                       | label                      | what it is for              |
|----------------|---------------------------------|----------------------------|-----------------------------|
| proximity      | symbols, a chain of local steps | direction of the step      | the effect, at its smallest |
| digits         | 64 grey values of an 8x8 image  | the digit                  | small real data             |
| noise          | uniform symbols                 | drawn without looking      | the null: nothing helps     |
| skew           | values, exponential AR process  | sign of the third cumulant | labels blind to pairs       |
| lra-listops    | nested lists of operators       | what the list comes to     | the Long Range Arena        |
| lra-pathfinder | contours pixel by pixel         | whether one joins discs    | the Long Range Arena        |
| lra-pathx      | the same, 128x128 pixels        | the same                   | the Long Range Arena        |
| lra-pathx256   | the same, 256x256 pixels        | the same                   | the Long Range Arena        |
| lra-image      | grey images pixel by pixel      | what they show             | the Long Range Arena        |
| lra-text       | reviews byte by byte            | whether they are positive  | the Long Range Arena        |
| lra-retrieval  | pairs of papers byte by byte    | whether one cites another  | the Long Range Arena        |
| fashion        | grey images pixel by pixel      | which clothes they show    | a stand-in for lra-image    |
| mnist5k        | grey images pixel by pixel      | the digit                  | a stand-in for lra-image    |
| newsgroups     | messages byte by byte           | in which group they stood  | a stand-in for lra-text     |
| spam           | mails byte by byte              | whether they are spam      | a stand-in for lra-text     |
| brown-pairs    | pairs of pieces byte by byte    | whether from one document  | a stand-in for lra-retrieval|

A task that takes hours has a small sister, like ``lra-listops-small``, which ``--profile small`` names. Images,
texts and pairs are read from files that somebody has to get.
"""

from selfpretrain.tasks.builtin.base import BuiltinTask, DrawnTask, FiledTask, Made, builtin_tasks, register
from selfpretrain.tasks.builtin.brown import BrownPairs
from selfpretrain.tasks.builtin.digits import Digits
from selfpretrain.tasks.builtin.fashion import Fashion
from selfpretrain.tasks.builtin.image import Image, ImageSmall
from selfpretrain.tasks.builtin.listops import ListOps, ListOpsSmall
from selfpretrain.tasks.builtin.mnist5k import Mnist5k
from selfpretrain.tasks.builtin.newsgroups import Newsgroups
from selfpretrain.tasks.builtin.noise import Noise
from selfpretrain.tasks.builtin.pathfinder import (
    Pathfinder,
    PathfinderSmall,
    PathX,
    PathX256,
    PathX256Small,
    PathXSmall,
)
from selfpretrain.tasks.builtin.proximity import Proximity
from selfpretrain.tasks.builtin.retrieval import Retrieval, RetrievalSmall
from selfpretrain.tasks.builtin.skew import Skew
from selfpretrain.tasks.builtin.spam import Spam
from selfpretrain.tasks.builtin.text import Text, TextSmall

__all__ = [
    "BrownPairs",
    "BuiltinTask",
    "Digits",
    "DrawnTask",
    "Fashion",
    "FiledTask",
    "Image",
    "ImageSmall",
    "ListOps",
    "ListOpsSmall",
    "Made",
    "Mnist5k",
    "Newsgroups",
    "Noise",
    "PathX",
    "PathX256",
    "PathX256Small",
    "PathXSmall",
    "Pathfinder",
    "PathfinderSmall",
    "Proximity",
    "Retrieval",
    "RetrievalSmall",
    "Skew",
    "Spam",
    "Text",
    "TextSmall",
    "builtin_tasks",
    "register",
]

for _task in (
    Proximity,
    Digits,
    Noise,
    Skew,
    ListOps,
    ListOpsSmall,
    Pathfinder,
    PathfinderSmall,
    PathX,
    PathXSmall,
    PathX256,
    PathX256Small,
    Image,
    ImageSmall,
    Text,
    TextSmall,
    Retrieval,
    RetrievalSmall,
    Fashion,
    Mnist5k,
    Newsgroups,
    Spam,
    BrownPairs,
):
    register(_task)
