"""The arena: the Long Range Arena of Tay et al. (2021), stand-ins for its data sets, and small sisters of both.

| task           | sequences                       | label                     | what it is for                  |
|----------------|---------------------------------|---------------------------|---------------------------------|
| lra-listops    | nested lists of operators       | value of the list         | drawn by the arena's rules      |
| lra-pathfinder | contours pixel by pixel         | whether one joins discs   | drawn by the arena's rules      |
| lra-pathx      | the same, 128x128 pixels        | the same                  | drawn by the arena's rules      |
| lra-pathx256   | the same, 256x256 pixels        | the same                  | drawn by the arena's rules      |
| lra-image      | grey images pixel by pixel      | what they show            | files that a person supplies    |
| lra-text       | reviews byte by byte            | whether they are positive | files that a person supplies    |
| lra-retrieval  | pairs of papers byte by byte    | whether one cites another | files that a person supplies    |
| fashion        | grey images pixel by pixel      | which clothes they show   | a stand-in for lra-image        |
| mnist5k        | grey images pixel by pixel      | the digit                 | a stand-in for lra-image        |
| newsgroups     | messages byte by byte           | the group they stood in   | a stand-in for lra-text         |
| spam           | mails byte by byte              | whether they are spam     | a stand-in for lra-text         |
| brown-pairs    | pairs of pieces byte by byte    | whether from one document | a stand-in for lra-retrieval    |

Each ``lra-*`` task has a small sister, like ``lra-listops-small``, for a look within minutes.
"""

from selfpretrain.arena import image, listops, pairs, pathfinder, presets, text

__all__ = ["image", "listops", "pairs", "pathfinder", "presets", "text"]
