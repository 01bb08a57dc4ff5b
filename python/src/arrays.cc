#include "arrays.h"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_1_25_API_VERSION
#include <fmt/format.h>
#include <nanobind/stl/string.h>
#include <numpy/arrayobject.h>

#include <array>
#include <string>
#include <unordered_map>

namespace nb = nanobind;

namespace slipway::python {
namespace {

struct NumpyType {
  DType dtype;
  int number;
};
constexpr NumpyType kNumpyTypes[] = {
    {DType::kFloat, NPY_FLOAT32},       {DType::kDouble, NPY_FLOAT64},        {DType::kFloat16, NPY_FLOAT16},
    {DType::kInt8, NPY_INT8},           {DType::kInt16, NPY_INT16},           {DType::kInt32, NPY_INT32},
    {DType::kInt64, NPY_INT64},         {DType::kUint8, NPY_UINT8},           {DType::kUint16, NPY_UINT16},
    {DType::kUint32, NPY_UINT32},       {DType::kUint64, NPY_UINT64},         {DType::kBool, NPY_BOOL},
    {DType::kComplex64, NPY_COMPLEX64}, {DType::kComplex128, NPY_COMPLEX128},
};

/// ml_dtypes registers its types with NumPy under numbers that are known only when it is imported.
struct ExtraType {
  DType dtype;
  const char* name;
};
constexpr ExtraType kExtraTypes[] = {
    {DType::kBFloat16, "bfloat16"},
    {DType::kFloat8E4M3FN, "float8_e4m3fn"},
    {DType::kFloat8E4M3FNUZ, "float8_e4m3fnuz"},
    {DType::kFloat8E5M2, "float8_e5m2"},
    {DType::kFloat8E5M2FNUZ, "float8_e5m2fnuz"},
    {DType::kFloat8E8M0, "float8_e8m0fnu"},
    {DType::kFloat4E2M1, "float4_e2m1fn"},
    {DType::kInt4, "int4"},
    {DType::kUint4, "uint4"},
    {DType::kInt2, "int2"},
    {DType::kUint2, "uint2"},
    {DType::kFloat6E2M3, "float6_e2m3fn"},
    {DType::kFloat6E3M2, "float6_e3m2fn"},
};

DType DTypeOf(PyArrayObject* array) {
  const int number = PyArray_TYPE(array);
  for (const NumpyType& t : kNumpyTypes) {
    if (t.number == number) return t.dtype;
  }
  // Where long and long long are both 64 bits, NumPy has two numbers for one type.
  if (number == NPY_LONGLONG) return DType::kInt64;
  if (number == NPY_ULONGLONG) return DType::kUint64;
  if (number == NPY_OBJECT || number == NPY_UNICODE || number == NPY_STRING) return DType::kString;
  if (number >= NPY_USERDEF) {
    const std::string name =
        nb::cast<std::string>(nb::handle(reinterpret_cast<PyObject*>(PyArray_DESCR(array))).attr("name"));
    for (const ExtraType& t : kExtraTypes) {
      if (name == t.name) return t.dtype;
    }
  }
  throw Error(
      Code::kInvalidArgument,
      fmt::format("NumPy arrays of type {} have no ONNX type",
                  nb::cast<std::string>(nb::str(nb::handle(reinterpret_cast<PyObject*>(PyArray_DESCR(array)))))));
}

/// A new reference to NumPy's descriptor for the type.
PyArray_Descr* DescrOf(DType dtype) {
  for (const NumpyType& t : kNumpyTypes) {
    if (t.dtype == dtype) return PyArray_DescrFromType(t.number);
  }
  for (const ExtraType& t : kExtraTypes) {
    if (t.dtype != dtype) continue;
    nb::object type;
    try {
      type = nb::module_::import_("ml_dtypes").attr(t.name);
    } catch (nb::python_error&) {
      throw Error(Code::kUnsupported,
                  fmt::format("an output is {}: pip install ml_dtypes, which has that type for NumPy", Name(dtype)));
    }
    PyArray_Descr* descr = nullptr;
    if (!PyArray_DescrConverter(type.ptr(), &descr)) throw nb::python_error();
    return descr;
  }
  throw Error(Code::kUnsupported, fmt::format("NumPy has no type for {}", Name(dtype)));
}

/// Frees a Python object from whatever thread the last user of a tensor runs on.
std::shared_ptr<const void> Hold(PyObject* object) {
  return {object, [](PyObject* o) {
            if (!Py_IsInitialized()) return;
            const PyGILState_STATE state = PyGILState_Ensure();
            Py_DECREF(o);
            PyGILState_Release(state);
          }};
}

std::string StringFrom(PyObject* item) {
  if (PyUnicode_Check(item)) {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(item, &size);
    if (!text) throw nb::python_error();
    return {text, static_cast<size_t>(size)};
  }
  if (PyBytes_Check(item)) return {PyBytes_AS_STRING(item), static_cast<size_t>(PyBytes_GET_SIZE(item))};
  throw Error(Code::kInvalidArgument,
              fmt::format("an array of objects may hold str and bytes only, got {}", Py_TYPE(item)->tp_name));
}

Tensor StringsFrom(PyArrayObject* array, Shape shape) {
  Tensor t(DType::kString, std::move(shape));
  auto* out = t.data<std::string>();
  nb::object flat = nb::steal(PyArray_IterNew(reinterpret_cast<PyObject*>(array)));
  for (int64_t i = 0; i < t.size(); ++i) {
    auto* it = reinterpret_cast<PyArrayIterObject*>(flat.ptr());
    nb::object item = nb::steal(PyArray_GETITEM(array, static_cast<char*>(PyArray_ITER_DATA(it))));
    if (!item.is_valid()) throw nb::python_error();
    out[i] = StringFrom(item.ptr());
    PyArray_ITER_NEXT(it);
  }
  return t;
}

/// ml_dtypes leaves open what the upper bits of a byte hold that an integer of 4 or 2 bits is in.
Tensor SignExtended(const Tensor& t) {
  Tensor out(t.dtype(), t.shape());
  const auto* in = static_cast<const uint8_t*>(t.raw());
  auto* to = static_cast<int8_t*>(out.raw());
  for (int64_t i = 0; i < t.size(); ++i) to[i] = t.dtype() == DType::kInt4 ? Int4(in[i]).value : Int2(in[i]).value;
  return out;
}

Tensor FromArray(PyArrayObject* array) {
  const DType dtype = DTypeOf(array);
  Shape shape(std::span<const int64_t>(reinterpret_cast<const int64_t*>(PyArray_DIMS(array)), PyArray_NDIM(array)));
  if (dtype == DType::kString) return StringsFrom(array, std::move(shape));
  if (PyArray_ISCARRAY_RO(array)) {  // in order, aligned, native bytes
    Py_INCREF(array);
  } else {
    PyArray_Descr* native = PyArray_DescrNewByteorder(PyArray_DESCR(array), NPY_NATIVE);
    if (!native) throw nb::python_error();
    array = reinterpret_cast<PyArrayObject*>(PyArray_FromArray(array, native, NPY_ARRAY_CARRAY_RO));
    if (!array) throw nb::python_error();
  }
  const Tensor tensor(dtype, std::move(shape), PyArray_DATA(array), Hold(reinterpret_cast<PyObject*>(array)));
  return dtype == DType::kInt4 || dtype == DType::kInt2 ? SignExtended(tensor) : tensor;
}

template <class Key>
std::map<Key, Value> MapFrom(nb::dict dict) {
  std::map<Key, Value> out;
  for (auto [key, value] : dict) out.emplace(nb::cast<Key>(key), FromPython(value));
  return out;
}

nb::object StringsToPython(const Tensor& t) {
  const npy_intp* dims = reinterpret_cast<const npy_intp*>(t.shape().data());
  nb::object array = nb::steal(PyArray_SimpleNew(t.shape().rank(), const_cast<npy_intp*>(dims), NPY_OBJECT));
  if (!array.is_valid()) throw nb::python_error();
  auto** items = static_cast<PyObject**>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array.ptr())));
  for (int64_t i = 0; i < t.size(); ++i) {
    const std::string& s = t.data<std::string>()[i];
    PyObject* text = PyUnicode_DecodeUTF8(s.data(), static_cast<Py_ssize_t>(s.size()), nullptr);
    if (!text) {  // not text: bytes, as they are
      PyErr_Clear();
      text = PyBytes_FromStringAndSize(s.data(), static_cast<Py_ssize_t>(s.size()));
    }
    PyObject* old = items[i];
    items[i] = text;
    Py_XDECREF(old);
  }
  return array;
}

nb::object TensorToPython(const Tensor& t) {
  if (t.dtype() == DType::kString) return StringsToPython(t);
  nb::object owner = nb::steal(PyCapsule_New(new std::shared_ptr<const void>(t.keep()), nullptr, [](PyObject* capsule) {
    delete static_cast<std::shared_ptr<const void>*>(PyCapsule_GetPointer(capsule, nullptr));
  }));
  const npy_intp* dims = reinterpret_cast<const npy_intp*>(t.shape().data());
  nb::object array = nb::steal(PyArray_NewFromDescr(&PyArray_Type, DescrOf(t.dtype()), t.shape().rank(), dims, nullptr,
                                                    const_cast<void*>(t.raw()), NPY_ARRAY_CARRAY, nullptr));
  if (!array.is_valid()) throw nb::python_error();
  PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(array.ptr()), owner.release().ptr());
  return array;
}

}  // namespace

void InitArrays() {
  if (_import_array() < 0) throw nb::python_error();
}

Value FromPython(nb::handle object) {
  PyObject* o = object.ptr();
  if (PyArray_Check(o)) return FromArray(reinterpret_cast<PyArrayObject*>(o));
  if (object.is_none()) return {};
  if (PyList_Check(o) || PyTuple_Check(o)) {
    Sequence sequence;
    for (nb::handle item : object) sequence.push_back(FromPython(item));
    return sequence;
  }
  if (PyDict_Check(o)) {
    const nb::dict dict = nb::borrow<nb::dict>(object);
    for (auto [key, value] : dict) {
      if (PyUnicode_Check(key.ptr())) return Map(MapFrom<std::string>(dict));
      break;
    }
    return Map(MapFrom<int64_t>(dict));
  }
  if (PyArray_CheckScalar(o) || PyFloat_Check(o) || PyLong_Check(o) || PyUnicode_Check(o)) {
    nb::object array = nb::steal(PyArray_FROM_O(o));
    if (!array.is_valid()) throw nb::python_error();
    return FromArray(reinterpret_cast<PyArrayObject*>(array.ptr()));
  }
  throw Error(Code::kInvalidArgument,
              fmt::format("wants a NumPy array, list, dict or None, got {}", Py_TYPE(o)->tp_name));
}

nb::object ToPython(const Value& value) {
  if (value.is_tensor()) return TensorToPython(value.tensor());
  if (value.empty()) return nb::none();
  if (value.is_sequence()) {
    nb::list out;
    for (const Value& item : value.sequence()) out.append(ToPython(item));
    return out;
  }
  nb::dict out;
  // A map's values are tensors of one element, which Python's users know as plain numbers.
  std::visit(
      [&](const auto& map) {
        for (const auto& [key, item] : map) {
          nb::object held = ToPython(item);
          const bool scalar = item.is_tensor() && item.tensor().shape().rank() == 0;
          out[nb::cast(key)] = scalar ? held.attr("item")() : held;
        }
      },
      value.map());
  return out;
}

}  // namespace slipway::python
