"""The wire's protobuf definitions; `make proto` regenerates the code beside `envelope.proto`."""
