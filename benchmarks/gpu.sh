#!/bin/sh
# The figures of docs/gpu.md, on a machine with one NVIDIA card: sh benchmarks/gpu.sh [FOLDER] [SECONDS]
#
# Each of four models in a run of experiment=gpu at batch 1, beside it the same rows by the runtimes' own tools, then one
# ladder of batch sizes. SECONDS bounds the latency measuring of each run. PYTHON names the interpreter, and ROWS further
# overrides of each run, such as 'variant=[baseline,fp16] target=[torch_cuda,ort_cuda_graph] measure.energy_s=1' where time
# is short. By itself it leaves out torch.compile, which compiles anew in every round.
set -eu
out=${1:-outputs/gpu}
seconds=${2:-60}
python=${PYTHON:-python}
more="${ROWS:-~target.torch_cuda_compile}"

mkdir -p "$out"
"$python" -m pipeline doctor > "$out/doctor.txt" || true
for model in fashion_resnet resnet50 vit_base bert_base; do
  case $model in
    fashion_resnet) data="data.test_size=2000" ;;
    *) data="data=random metric=cosine data.examples.test=64" ;;
  esac
  rows="experiment=gpu model=$model $data batch_sizes=[1] $more"
  # shellcheck disable=SC2086  the words of $rows are arguments of their own
  "$python" -m pipeline $rows measure.budget_s="$seconds" hydra.run.dir="$out/$model" || true
  # shellcheck disable=SC2086
  "$python" benchmarks/plain_timing.py --run "$out/$model" $rows > "$out/$model/plain.md" || true
done
"$python" -m pipeline experiment=batch_sizes model=resnet50 data=random metric=cosine data.examples.test=300 \
  variant=[baseline,fp16] target=[ort_cuda,ort_cuda_graph] measure.budget_s="$seconds" hydra.run.dir="$out/batch_sizes" || true
