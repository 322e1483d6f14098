#!/bin/sh
# The figures of docs/gpu.md, on a machine with one NVIDIA card: sh benchmarks/gpu.sh [FOLDER] [SECONDS]
#
# Each of four models in a run of experiment=gpu at batch 1, then some of these rows by the runtimes' own tools, then one
# ladder of batch sizes. SECONDS bounds the latency measuring of each run. Every report is written as its run ends.
# PYTHON names the interpreter, MODELS some of the models, and MORE further overrides of each run, such as
# 'measure.looks=[4] measure.energy_s=0.5 measure.try_s=null' where time is short. PLAIN=no leaves the runtimes' own tools
# out, LADDER=no the ladder. torch.compile is not among the rows, since it takes a minute to compile a model.
set -eu
out=${1:-outputs/gpu}
seconds=${2:-60}
python=${PYTHON:-python}
models="${MODELS:-resnet50 vit_base bert_base fashion_resnet}"
more="${MORE:-}"

# Channels last are for convolutions: the other models have no such rows.
both=torch_cuda,torch_cuda_tf32,torch_cuda_fp16,torch_cuda_bf16,torch_cuda_graph,ort_cuda,ort_cuda_tf32,ort_cuda_graph
noise="data=random metric=cosine data.examples.calibration=16"

data_of() {
  case $1 in
    fashion_resnet) echo "model=$1 data.test_size=2000" ;;
    *) echo "model=$1 $noise data.examples.test=64" ;;
  esac
}

rows_of() {
  case $1 in
    fashion_resnet | resnet50) targets=$both,torch_cuda_channels_last,ort_cuda_nhwc ;;
    *) targets=$both ;;
  esac
  echo "experiment=gpu batch_sizes=[1] variant=[baseline,fp16] target=[$targets]"
}

mkdir -p "$out"
"$python" -m pipeline doctor --quick > "$out/doctor.txt" || true
# shellcheck disable=SC2046,SC2086  what these print are arguments of their own
for model in $models; do
  "$python" benchmarks/plain_timing.py --build $(data_of "$model") $(rows_of "$model") $more > "$out/build_$model.txt" 2>&1 &
done
wait
# shellcheck disable=SC2046,SC2086
for model in $models; do
  "$python" -m pipeline $(data_of "$model") $(rows_of "$model") measure.budget_s="$seconds" $more hydra.run.dir="$out/$model" || true
done
# shellcheck disable=SC2046,SC2086
if [ "${PLAIN:-}" != no ]; then
  for model in $models; do
    "$python" benchmarks/plain_timing.py --seconds 0.3 --run "$out/$model" $(data_of "$model") $more \
      experiment=gpu batch_sizes=[1] variant=[baseline,fp16] target=[torch_cuda,torch_cuda_fp16,ort_cuda,ort_cuda_graph] > "$out/plain_$model.md" || true
  done
fi
# shellcheck disable=SC2046,SC2086
if [ "${LADDER:-}" != no ]; then
  "$python" -m pipeline model=resnet50 $noise data.examples.test=300 experiment=batch_sizes \
    variant=[baseline,fp16] target=[ort_cuda,ort_cuda_graph] measure.budget_s="$seconds" $more hydra.run.dir="$out/batch_sizes" || true
fi
