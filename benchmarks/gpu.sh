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
torch_rows=torch_cuda,torch_cuda_tf32,torch_cuda_fp16,torch_cuda_bf16,torch_cuda_graph
both="variant=[baseline,fp16] target=[$torch_rows,ort_cuda,ort_cuda_tf32,ort_cuda_graph]"
images="variant=[baseline,fp16] target=[$torch_rows,torch_cuda_channels_last,ort_cuda,ort_cuda_tf32,ort_cuda_nhwc,ort_cuda_graph]"
noise="data=random metric=cosine data.examples.test=64 data.examples.calibration=16"

rows_of() {
  echo "model=$1 experiment=gpu batch_sizes=[1]"
  case $1 in
    fashion_resnet) echo "data.test_size=2000 $images" ;;
    resnet50) echo "$noise $images" ;;
    *) echo "$noise $both" ;;
  esac
}

mkdir -p "$out"
"$python" -m pipeline doctor --quick > "$out/doctor.txt" || true
# shellcheck disable=SC2046,SC2086  what these print are arguments of their own
for model in $models; do
  "$python" benchmarks/plain_timing.py --build $(rows_of "$model") $more > "$out/build_$model.txt" 2>&1 &
done
wait
# shellcheck disable=SC2046,SC2086
for model in $models; do
  "$python" -m pipeline $(rows_of "$model") measure.budget_s="$seconds" $more hydra.run.dir="$out/$model" || true
done
# shellcheck disable=SC2046,SC2086
if [ "${PLAIN:-}" != no ]; then
  for model in $models; do
    "$python" benchmarks/plain_timing.py --seconds 0.3 --run "$out/$model" $(rows_of "$model") $more \
      target=[torch_cuda,torch_cuda_fp16,ort_cuda,ort_cuda_graph] > "$out/plain_$model.md" || true
  done
fi
# shellcheck disable=SC2046,SC2086
if [ "${LADDER:-}" != no ]; then
  "$python" -m pipeline $(rows_of resnet50) experiment=batch_sizes batch_sizes=[1,2,4,8,16,32,64,128,256] \
    target=[ort_cuda,ort_cuda_graph] data.examples.test=300 measure.budget_s="$seconds" $more hydra.run.dir="$out/batch_sizes" || true
fi
