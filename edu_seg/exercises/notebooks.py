"""The notebooks that have exercises: the first two characters of an exercise's id name one."""

NOTEBOOKS = {
    "00": "00_start_here",
    "01": "01_receptive_fields",
    "02": "02_convolutionalising_fc_layers",
    "03": "03_shift_and_stitch",
    "04": "04_transposed_convolution",
    "05": "05_fcn_skips",
    "06": "06_encoder_decoders",
    "07": "07_dilation_and_gridding",
    "08": "08_dense_crf",
    "09": "09_aspp_and_psp",
    "10": "10_backbones",
    "11": "11_training_at_scale",
}
"""number -> the file's name without its ending"""


def solution_of(exercise_id: str) -> str:
    """The notebook that holds the solution of an exercise, seen from the course's folder."""
    return f"notebooks/solutions/{NOTEBOOKS[exercise_id[:2]]}.ipynb"
