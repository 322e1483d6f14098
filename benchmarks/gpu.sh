#!/bin/sh
# The figures of docs/gpu.md, on a machine with one NVIDIA card: sh benchmarks/gpu.sh [FOLDER] [SECONDS]
#
# Each of four models in a run of experiment=gpu at batch 1, beside it some of these rows by the runtimes' own tools, then
# one ladder of batch sizes. SECONDS bounds the latency measuring of each run. Every run's report is written as it ends.
# PYTHON names the interpreter, MODELS some of the models, ROWS further overrides of each run, such as
# 'target=[torch_cuda,ort_cuda_graph] measure.energy_s=1' where time is short, PLAIN those of the runtimes' own tools, and
# LADDER those of the ladder ('no': none).
set -eu
out=${1:-outputs/gpu}
seconds=${2:-60}
python=${PYTHON:-python}
models="${MODELS:-resnet50 vit_base bert_base fashion_resnet}"
rows="${ROWS:-}"
plain="${PLAIN:-variant=[baseline,fp16] target=[torch_cuda,torch_cuda_fp16,ort_cuda,ort_cuda_graph]}"
ladder="${LADDER:-}"

data_of() {
  case $1 in
    fashion_resnet) echo "model=$1 data.test_size=2000" ;;
    *) echo "model=$1 data=random metric=cosine data.examples.test=64 data.examples.calibration=16" ;;
  esac
}

mkdir -p "$out"
"$python" -m pipeline doctor --quick > "$out/doctor.txt" || true
# shellcheck disable=SC2046,SC2086  what these print are arguments of their own
for model in $models; do
  "$python" benchmarks/plain_timing.py --build $(data_of "$model") experiment=gpu "batch_sizes=[1]" $rows > "$out/build_$model.txt" 2>&1 &
done
wait
# shellcheck disable=SC2046,SC2086
for model in $models; do
  "$python" -m pipeline $(data_of "$model") experiment=gpu "batch_sizes=[1]" measure.budget_s="$seconds" $rows hydra.run.dir="$out/$model" || true
  "$python" benchmarks/plain_timing.py --seconds 0.3 --run "$out/$model" $(data_of "$model") experiment=gpu "batch_sizes=[1]" $rows $plain > "$out/plain_$model.md" || true
done
if [ "$ladder" != no ]; then
  # shellcheck disable=SC2046,SC2086
  "$python" -m pipeline $(data_of resnet50) experiment=batch_sizes variant=[baseline,fp16] target=[ort_cuda,ort_cuda_graph] \
    data.examples.test=300 measure.budget_s="$seconds" $rows $ladder hydra.run.dir="$out/batch_sizes" || true
fi
