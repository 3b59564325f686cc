"""Diagnostics as functions on tensors or on a plain loss, of any model.

Three need a model of this project: gradients on scores, slices along a bias on scores, and alignment.

What attention looks at (``attention``), what a loss teaches it (``gradients``), the loss around and between weights
(``landscape``, ``curvature``, ``alignment``), what hidden states hold (``representation``), and whether labels could
see local structure (``data``). Leading dimensions are batch and heads. ``selfpretrain.explain`` applies them to a
finished comparison.
"""
