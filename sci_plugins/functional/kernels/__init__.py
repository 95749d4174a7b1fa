"""The same maths in machine code, for CPUs by LLVM and for GPUs by Triton."""
