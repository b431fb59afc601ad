"""The hand-made features once more, in torch: for GPUs, and for files of other formats.

Processors use numpy's, which are faster there and whose numbers encoders are fitted to. A twin
takes the same constants and gives the same counts to the last one; other numbers differ in the
last digits. All are pure functions of ``uint8 [n, h, w, 3]``, of operations that ``torch.export``
and ONNX have: whole numbers are carried as float32, which holds them exactly up to 2 ** 24.
"""
