"""Matrix products of a ViT's shapes, one thread: ours, matrixmultiply's and MKL's (torch.matmul), as a Markdown table.

    pip install torch
    cargo build --release
    python tests/peers/products.py target/release/wavetape [ROUNDS]

The two programs take turns; a figure is the median of the rounds. The last column is the median of each round's ratio.
"""

import json
import statistics
import subprocess
import sys
import time

import torch


def mkl(product):
    """GFLOP/s of one product: the median of five bursts of 10 ms."""
    batch, m, k, n = (product[key] for key in ("batch", "m", "k", "n"))
    a = torch.rand(batch, m, k) if product["layout"][0] == "N" else torch.rand(batch, k, m).mT
    b = torch.rand(batch, k, n) if product["layout"][1] == "N" else torch.rand(batch, n, k).mT
    if batch == 1:
        a, b = a[0], b[0]
    out = torch.matmul(a, b)
    rates = []
    for _ in range(5):
        start, calls = time.perf_counter(), 0
        while time.perf_counter() - start < 0.01:
            torch.matmul(a, b, out=out)
            calls += 1
        rates.append(2 * batch * m * k * n * calls / (time.perf_counter() - start) / 1e9)
    return statistics.median(rates)


def main():
    torch.set_num_threads(1)
    command = [sys.argv[1], "bench", "--roofline", "--products", "--threads", "1", "--json"]
    rounds = []
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 5):
        ours = json.loads(subprocess.check_output(command))
        for product in ours["products"]:
            product["mkl"] = mkl(product)
        rounds.append(ours)

    peak = statistics.median(ours["fma_gflop_s"] for ours in rounds)
    print(f"{rounds[0]['simd']}, one thread; multiply-adds alone: {peak:.0f} GFLOP/s\n")
    print("| product (m, k, n) | matrixmultiply | MKL | ours | of multiply-adds | ours ÷ MKL |")
    print("|---|---|---|---|---|---|")
    for same in zip(*(ours["products"] for ours in rounds)):
        one = same[0]
        batch = f"{one['batch']} × " if one["batch"] > 1 else ""
        name = f"{one['layout']} {batch}({one['m']}, {one['k']}, {one['n']})"
        median = lambda key: statistics.median(product[key] for product in same)
        ratio = statistics.median(product["gflop_s"] / product["mkl"] for product in same)
        ours = median("gflop_s")
        print(
            f"| {name} | {median('matrixmultiply_gflop_s'):.0f} | {median('mkl'):.0f} | {ours:.0f} "
            f"| {100 * ours / peak:.0f} % | {ratio:.2f} |"
        )


main()
