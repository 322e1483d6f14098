"""Fashion-MNIST (Zalando SE, MIT): the shipped splits and the command that makes them."""
