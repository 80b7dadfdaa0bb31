// csrc/row.h against the textbook formula in long double: no Python, no torch.
#include "row.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <random>
#include <vector>

namespace {

int failures = 0;

void expect_near(const char* what, int classes, long double actual, long double wanted,
                 long double tolerance) {
  if (!(std::fabs(actual - wanted) <= tolerance * (1 + std::fabs(wanted)))) {
    std::printf("FAILED %s, C = %d: %.17Lg, wanted %.17Lg\n", what, classes, actual, wanted);
    ++failures;
  }
}

struct Row {
  std::vector<double> x, t;
  int y;
};

Row random_row(int classes, std::mt19937_64& random) {
  std::normal_distribution<double> normal(0, 3);
  Row row{std::vector<double>(classes), std::vector<double>(classes),
          static_cast<int>(random() % classes)};
  double mass = 0;
  for (int j = 0; j < classes; ++j) {
    row.x[j] = normal(random);
    row.t[j] = random() % 4 == 0 ? 0 : std::exp(normal(random));
    mass += row.t[j];
  }
  for (double& t : row.t) {
    t = mass > 0 ? t / mass : 1.0 / classes;
  }
  return row;
}

// The definitions, with nothing shared and nothing reordered.
void check_row(const Row& row, double a, double b, double upstream) {
  const int classes = static_cast<int>(row.x.size());
  long double total = 0;
  for (const double x : row.x) {
    total += std::exp(static_cast<long double>(x));
  }
  const auto p = [&](int j) { return std::exp(static_cast<long double>(row.x[j])) / total; };
  long double kl = 0, mass = 0;
  for (int j = 0; j < classes; ++j) {
    mass += row.t[j];
    kl += row.t[j] > 0 ? row.t[j] * std::log(row.t[j] / p(j)) : 0;
  }
  const long double ce = -std::log(p(row.y));

  double max = row.x[0];
  for (const double x : row.x) {
    max = std::fmax(max, x);
  }
  ffdwv::RowSums<double> halves[2];  // two parts, merged, as lanes are
  for (int j = 0; j < classes; ++j) {
    auto& sums = halves[j % 2];
    sums.add_exp(std::exp(row.x[j] - max));
    sums.add_soft(row.x[j] - max, row.t[j]);
    sums.add_neg_entropy(row.t[j]);
  }
  halves[0].merge(halves[1]);
  const ffdwv::Weights<double> weights{a, b};
  const auto loss = ffdwv::row_loss(halves[0], row.x[row.y] - max, weights);
  expect_near("ce", classes, loss.ce, ce, 1e-13L);
  expect_near("kl", classes, loss.kl, kl, 1e-13L);
  expect_near("loss", classes, loss.loss, a * ce + b * kl, 1e-13L);

  const ffdwv::RowGradient<double> gradient(halves[0], weights, upstream);
  for (int j = 0; j < classes; ++j) {
    const double e = std::exp(row.x[j] - max);
    const bool label = j == row.y;
    const double actual = label ? gradient.label(e, row.t[j]) : gradient.other(e, row.t[j]);
    const long double wanted = upstream * ((a + b * mass) * p(j) - a * label - b * row.t[j]);
    expect_near("gradient", classes, actual, wanted, 1e-13L);
  }
}

struct TeacherRow {
  std::vector<double> x, z;
  int y;
};

TeacherRow random_teacher_row(int classes, std::mt19937_64& random) {
  std::normal_distribution<double> normal(0, 3);
  TeacherRow row{std::vector<double>(classes), std::vector<double>(classes),
                 static_cast<int>(random() % classes)};
  for (int j = 0; j < classes; ++j) {
    row.x[j] = normal(random);
    row.z[j] = normal(random);
  }
  return row;
}

long double total_exp(const std::vector<double>& x, double t) {
  long double total = 0;
  for (const double value : x) {
    total += std::exp(static_cast<long double>(value) / t);
  }
  return total;
}

// The sums as kernels gather them: each half with maxima of its own, which are then made one.
ffdwv::TeacherSums<double> gather(const TeacherRow& row, double t, double max, double teacher_max) {
  ffdwv::TeacherSums<double> both;
  for (int part = 0; part < 2; ++part) {
    ffdwv::TeacherSums<double> sums;
    const double own = max - part, teacher_own = teacher_max - 2 * part;
    for (std::size_t j = part; j < row.x.size(); j += 2) {
      const double d = row.x[j] - own, g = (row.z[j] - teacher_own) / t;
      sums.add(std::exp(d), std::exp(d / t), std::exp(g), g - d / t);
    }
    sums.shift_student(own - max, (own - max) / t);
    sums.shift_teacher((teacher_own - teacher_max) / t);
    both.merge(sums);
  }
  return both;
}

void check_teacher_row(const TeacherRow& row, double t, double a, double b, double upstream) {
  const int classes = static_cast<int>(row.x.size());
  const long double total = total_exp(row.x, 1);
  const long double student_total = total_exp(row.x, t), teacher_total = total_exp(row.z, t);
  const auto p = [&](int j) { return std::exp(static_cast<long double>(row.x[j])) / total; };
  const auto student = [&](int j) {
    return std::exp(static_cast<long double>(row.x[j]) / t) / student_total;
  };
  const auto teacher = [&](int j) {
    return std::exp(static_cast<long double>(row.z[j]) / t) / teacher_total;
  };
  long double kl = 0;
  for (int j = 0; j < classes; ++j) {
    kl += teacher(j) * std::log(teacher(j) / student(j));
  }
  kl *= t * t;
  const long double ce = -std::log(p(row.y));

  const double max = *std::max_element(row.x.begin(), row.x.end());
  const double teacher_max = *std::max_element(row.z.begin(), row.z.end());
  const auto sums = gather(row, t, max, teacher_max);
  const ffdwv::Weights<double> weights{a, b};
  const auto loss = ffdwv::row_loss(sums, row.x[row.y] - max, weights, t);
  const long double tolerance = 1e-13L * (1 + t * t);
  expect_near("ce with a teacher", classes, loss.ce, ce, 1e-13L);
  expect_near("kl with a teacher", classes, loss.kl, kl, tolerance);
  expect_near("loss with a teacher", classes, loss.loss, a * ce + b * kl, tolerance);

  const ffdwv::TeacherGradient<double> gradient(sums, weights, t, upstream);
  for (int j = 0; j < classes; ++j) {
    const double d = row.x[j] - max;
    const double e = std::exp(d), s = std::exp(d / t), u = std::exp((row.z[j] - teacher_max) / t);
    const bool label = j == row.y;
    const double actual = label ? gradient.label(e, s, u) : gradient.other(e, s, u);
    const long double wanted =
        upstream * (a * (p(j) - label) + b * t * (student(j) - teacher(j)));
    expect_near("gradient with a teacher", classes, actual, wanted, tolerance);
  }
}

// A class that the teacher rules out takes no part, even where the student rules it out too.
void check_class_ruled_out_by_both() {
  ffdwv::TeacherSums<double> sums;
  sums.add(1, 1, 1, 0);
  sums.add(0, 0, 0, NAN);
  const auto loss = ffdwv::row_loss(sums, 0.0, ffdwv::Weights<double>{1.0, 1.0}, 2.0);
  expect_near("class ruled out by both", 2, loss.loss, 0, 0);
}

void check_sure_label() {
  // p_y = 1 - 1e-13: the entry at the label keeps its digits.
  const double d = -30;
  ffdwv::RowSums<double> sums;
  sums.add_exp(1);
  sums.add_exp(std::exp(d));
  const ffdwv::RowGradient<double> gradient(sums, {1.0, 0.0}, 1.0);
  const long double wanted = -std::exp(static_cast<long double>(d));
  if (std::fabs(gradient.label(1, 0) / wanted - 1) > 2e-3L) {
    std::printf("FAILED sure label: %.17g, wanted %.17Lg\n", gradient.label(1, 0), wanted);
    ++failures;
  }
}

void check_zero_weight_of_an_infinite_part() {
  ffdwv::RowSums<double> sums;
  sums.add_exp(1);
  sums.add_soft(-INFINITY, 0.5);
  const auto loss = ffdwv::row_loss(sums, 0.0, ffdwv::Weights<double>{1.0, 0.0});
  expect_near("loss beside an infinite part of weight 0", 2, loss.loss, 0, 0);
  if (!std::isinf(loss.kl)) {
    std::printf("FAILED the infinite part is reported\n");
    ++failures;
  }
}

}  // namespace

int main() {
  std::mt19937_64 random(0);
  int rows = 0;
  for (int classes = 1; classes <= 200; ++classes) {
    check_row(random_row(classes, random), 1, 1, 1);
    check_row(random_row(classes, random), 0.3, 2.5, -1.7);
    check_teacher_row(random_teacher_row(classes, random), 1, 1, 1, 1);
    check_teacher_row(random_teacher_row(classes, random), 0.5, 0.3, 2.5, -1.7);
    check_teacher_row(random_teacher_row(classes, random), 20, 0.3, 2.5, 1);
    rows += 5;
  }
  check_class_ruled_out_by_both();
  check_sure_label();
  check_zero_weight_of_an_infinite_part();
  std::printf("%d rows, %d failures\n", rows, failures);
  return failures == 0 ? 0 : 1;
}
