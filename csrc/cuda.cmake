# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

# Whether CUDA kernels are built, and for which GPUs. A GPU is never asked for: kernels are built in containers and on
# login nodes, which have none.

# GPUs that the kernels are built for: A100 and, by the same code, everything up to the RTX 40 series; H100, H200 and
# B200, with the instructions that only they have; and PTX without those, which the driver compiles for all others.
set(ZPRL_DEFAULT_CUDA_ARCHITECTURES 80-real 80-virtual 90a-real 100a-real)

# Find nvcc and enable CUDA, as the option ZPRL_CUDA says. AUTO does without where something is missing; ON fails.
#
#   torch_cuda          CUDA version of the installed torch, or "None"
#
# Sets, for the caller:
#   ZPRL_CUDA_VERSION   of the toolkit, with the architectures; empty if CUDA kernels are not built
#   ZPRL_CUDA_REASON    why they are not
macro(zprl_find_cuda torch_cuda)
  set(ZPRL_CUDA_VERSION "")
  set(ZPRL_CUDA_REASON "")
  if(ZPRL_CUDA STREQUAL "OFF")
    set(ZPRL_CUDA_REASON "ZPRL_CUDA=OFF")
  else()
    _zprl_check_toolkit("${torch_cuda}" zprl_nvcc_version ZPRL_CUDA_REASON)
  endif()
  if(NOT ZPRL_CUDA_REASON)
    _zprl_architectures(CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_STANDARD 17)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
    enable_language(CUDA)
    set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
    string(REPLACE "-real" "" zprl_names "${CMAKE_CUDA_ARCHITECTURES}")
    string(REGEX REPLACE "([0-9]+[af]?)-virtual" "\\1+PTX" zprl_names "${zprl_names}")
    string(REPLACE ";" " " zprl_names "${zprl_names}")
    set(ZPRL_CUDA_VERSION "${zprl_nvcc_version} for ${zprl_names}")
  elseif(ZPRL_CUDA STREQUAL "ON")
    message(FATAL_ERROR "ZPRL_CUDA=ON, but CUDA kernels cannot be built: ${ZPRL_CUDA_REASON}.")
  endif()
endmacro()

# Version of a usable nvcc, or the reason why there is none.
function(_zprl_check_toolkit torch_cuda version_variable reason_variable)
  set(${version_variable} "" PARENT_SCOPE)
  set(${reason_variable} "" PARENT_SCOPE)
  if(NOT torch_cuda MATCHES "^[0-9]+\\.")
    set(${reason_variable} "torch ${ZPRL_TORCH_VERSION} is built without CUDA" PARENT_SCOPE)
    return()
  endif()

  if(NOT CMAKE_CUDA_COMPILER)
    unset(CMAKE_CUDA_COMPILER CACHE)  # an earlier run's "not found" is no reason not to look again
  endif()
  # As CMake and torch look for it, and in the place where NVIDIA's packages put it without touching PATH.
  if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(ZPRL_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
    mark_as_advanced(ZPRL_NVCC)
    if(ZPRL_NVCC)
      set(ENV{CUDACXX} "${ZPRL_NVCC}")
    endif()
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    set(${reason_variable} "no working nvcc was found (set CUDACXX or CUDA_HOME)" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --version OUTPUT_VARIABLE answer RESULT_VARIABLE status ERROR_QUIET)
  if(NOT status EQUAL 0 OR NOT answer MATCHES "release ([0-9]+)\\.([0-9]+)")
    set(${reason_variable} "${CMAKE_CUDA_COMPILER} does not say its version" PARENT_SCOPE)
    return()
  endif()
  set(major "${CMAKE_MATCH_1}")
  set(version "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}")
  set(${version_variable} "${version}" PARENT_SCOPE)
  if(NOT torch_cuda MATCHES "^${major}\\.")
    set(${reason_variable} "nvcc is of CUDA ${version} and torch of CUDA ${torch_cuda}" PARENT_SCOPE)
  endif()
endfunction()

# Architectures as CMake names them, from TORCH_CUDA_ARCH_LIST ("8.0;9.0a;12.0+PTX", semicolons or spaces) or the
# default.
function(_zprl_architectures variable)
  set(list "$ENV{TORCH_CUDA_ARCH_LIST}")
  if(list STREQUAL "")
    set(${variable} "${ZPRL_DEFAULT_CUDA_ARCHITECTURES}" PARENT_SCOPE)
    return()
  endif()
  string(REGEX REPLACE "[ ,]+" ";" list "${list}")
  set(result "")
  foreach(name IN LISTS list)
    if(name STREQUAL "")
      continue()
    elseif(NOT name MATCHES "^([0-9]+)\\.([0-9])([af]?)(\\+PTX)?$")
      message(FATAL_ERROR "TORCH_CUDA_ARCH_LIST names '${name}'; write numbers, for example \"8.0;9.0a;10.0+PTX\".")
    elseif(CMAKE_MATCH_1 LESS 8)
      message(FATAL_ERROR "TORCH_CUDA_ARCH_LIST names '${name}'; ZPRL's kernels need 8.0 or newer.")
    endif()
    list(APPEND result "${CMAKE_MATCH_1}${CMAKE_MATCH_2}${CMAKE_MATCH_3}-real")
    if(CMAKE_MATCH_4)
      list(APPEND result "${CMAKE_MATCH_1}${CMAKE_MATCH_2}${CMAKE_MATCH_3}-virtual")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES result)
  set(${variable} "${result}" PARENT_SCOPE)
endfunction()
