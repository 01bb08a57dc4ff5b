#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/mapped_file.h"
#include "onnx/wire.h"
#include "slipway/tensor.h"

namespace slipway::onnx {

/// Where a model's tensors come from: its own bytes, and the files beside it.
class TensorReader {
 public:
  /// `keep` holds the model's bytes alive; `folder` is where external data may lie ("" for nowhere).
  TensorReader(std::shared_ptr<const void> keep, std::string folder)
      : keep_(std::move(keep)), folder_(std::move(folder)) {}
  /// For a compiled model, whose external data lies in its own file; data that lies nowhere was packed, and its tensors
  /// have none.
  explicit TensorReader(std::shared_ptr<const MappedFile> compiled) : keep_(compiled), compiled_(std::move(compiled)) {}

  /// The name of a TensorProto, without reading the rest.
  static std::string NameOf(Bytes tensor);
  /// A TensorProto. Throws Error(kBadGraph) naming the tensor.
  Tensor ReadTensor(Bytes tensor);
  /// A SparseTensorProto, as the dense tensor that it stands for.
  Tensor ReadSparse(Bytes sparse);

 private:
  struct Fields;
  Fields ReadFields(Bytes tensor) const;
  Tensor FromRaw(const Fields& fields, Bytes raw, const std::shared_ptr<const void>& keep) const;
  Tensor FromExternal(const Fields& fields);
  Tensor FromFile(const Fields& fields, const std::shared_ptr<const MappedFile>& file, const std::string& name) const;

  std::shared_ptr<const void> keep_;
  std::string folder_;
  std::shared_ptr<const MappedFile> compiled_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
  int64_t dense_budget_ = int64_t{1} << 30;  // bytes that sparse tensors may yet unfold to
};

}  // namespace slipway::onnx
